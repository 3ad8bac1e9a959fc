# SPDX-License-Identifier: Apache-2.0
"""An auditor of its own: what proto/LEDGER.md and proto/PROTOCOL.md say, in Python, with no code or schema of the server."""
