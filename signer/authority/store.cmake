# SPDX-License-Identifier: Apache-2.0
# The store: what the authority links, and the CLI for an offline export.
pkg_check_modules(SQLITE3 REQUIRED IMPORTED_TARGET GLOBAL sqlite3)
kyso_library(kyso_store
    SOURCES store.c store_open.c store_schema.c store_turn.c store_rows.c store_lookup.c
        store_snapshot.c store_backup.c
    PUBLIC kyso_proto kyso_ledger
    PRIVATE PkgConfig::SQLITE3
    INCLUDE ${CMAKE_CURRENT_SOURCE_DIR})
