# SPDX-License-Identifier: Apache-2.0
"""What each program may load: only vaults and the ceremony a PKCS#11 loader, only fronts and clients nghttp2, only the authority SQLite."""

import re
import subprocess
import sys

ONLY = {
    "libnghttp2": {"kyso-front", "kyso", "kyso-web", "kyso-approve"},
    "libsqlite3": {"kyso-authority"},
    "libp11-kit": {"kyso-vault", "kyso-ceremony"},
    "libgfshare": {"kyso-custody", "kyso-ceremony"},
    "libssl": {"kyso-front", "kyso", "kyso-web", "kyso-approve"},
    "libjansson": {"kyso", "kyso-custody", "kyso-ceremony", "kyso-web", "kyso-approve"},
    "libseccomp": {"kyso-front", "kyso-authority", "kyso-vault", "kyso-custody", "kyso-status", "kyso-web", "kyso-approve"},
    "liboath": {"kyso-authority", "kyso"},
    "libprotobuf-c": {"kyso-front", "kyso-authority", "kyso", "kyso-web", "kyso-approve"},
}
PROGRAMS = ["kysod", "kyso-front", "kyso-authority", "kyso-vault", "kyso-custody", "kyso-status", "kyso",
            "kyso-ceremony", "kyso-web", "kyso-approve"]


def main():
    bad = 0
    for program in PROGRAMS:
        out = subprocess.run(["readelf", "-d", f"{sys.argv[1]}/{program}"], capture_output=True, text=True, check=True)
        needed = re.findall(r"NEEDED.*\[(\w[\w-]*)", out.stdout)
        for library, allowed in ONLY.items():
            if any(n.startswith(library) for n in needed) and program not in allowed:
                print(f"{program} links {library}")
                bad = 1
        print(f"{program}: {' '.join(needed)}")
    return bad


if __name__ == "__main__":
    sys.exit(main())
