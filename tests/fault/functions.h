/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions of PKCS#11 that the fault token counts, logs and can spoil. Every other function
 * of the real module is passed on as it is, unseen.
 */
#ifndef KYSO_FAULT_FUNCTIONS_H
#define KYSO_FAULT_FUNCTIONS_H

#define FAULT_FUNCTIONS(X)                                                                         \
    X(C_Initialize)                                                                                \
    X(C_Finalize)                                                                                  \
    X(C_GetSlotList)                                                                               \
    X(C_GetTokenInfo)                                                                              \
    X(C_GetMechanismInfo)                                                                          \
    X(C_InitToken)                                                                                 \
    X(C_InitPIN)                                                                                   \
    X(C_SetPIN)                                                                                    \
    X(C_OpenSession)                                                                               \
    X(C_CloseSession)                                                                              \
    X(C_GetSessionInfo)                                                                            \
    X(C_Login)                                                                                     \
    X(C_CreateObject)                                                                              \
    X(C_CopyObject)                                                                                \
    X(C_DestroyObject)                                                                             \
    X(C_GetAttributeValue)                                                                         \
    X(C_SetAttributeValue)                                                                         \
    X(C_FindObjectsInit)                                                                           \
    X(C_FindObjects)                                                                               \
    X(C_FindObjectsFinal)                                                                          \
    X(C_SignInit)                                                                                  \
    X(C_Sign)                                                                                      \
    X(C_GenerateKey)                                                                               \
    X(C_GenerateKeyPair)                                                                           \
    X(C_WrapKey)                                                                                   \
    X(C_UnwrapKey)                                                                                 \
    X(C_GenerateRandom)

#define FAULT_NAME(name) FN_##name,
enum fn { FAULT_FUNCTIONS(FAULT_NAME) FN_COUNT };
#undef FAULT_NAME

#endif
