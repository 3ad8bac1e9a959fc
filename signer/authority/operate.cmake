# SPDX-License-Identifier: Apache-2.0
# The operators' door, linked into the authority. It calls the core back (authority.h), so the two are linked together.
pkg_check_modules(LIBOATH REQUIRED IMPORTED_TARGET liboath)
pkg_check_modules(LIBCRYPTO REQUIRED IMPORTED_TARGET libcrypto)

kyso_library(kyso_operate
    SOURCES
        certificate.c
        crl_list.c
        csr.c
        dn.c
        enroll.c
        envelope.c
        operate.c
        operate_authenticator.c
        operate_certificate.c
        operate_citizen.c
        operate_citizens.c
        operate_client.c
        operate_common.c
        operate_credential.c
        operate_device.c
        operate_enroll.c
        operate_read.c
        operate_subject.c
        operate_user.c
        seed.c
    INCLUDE ${CMAKE_CURRENT_SOURCE_DIR}
    PUBLIC kyso_store kyso_proto kyso_grpc kyso_policy kyso_common
    PRIVATE PkgConfig::LIBOATH PkgConfig::LIBCRYPTO)
