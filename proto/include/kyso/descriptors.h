/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The published .proto files as one serialized google.protobuf.FileDescriptorSet, imports
 * before their users: what gRPC reflection hands out. Made by protoc at build time. Constant: any
 * thread.
 */
#ifndef KYSO_DESCRIPTORS_H
#define KYSO_DESCRIPTORS_H

#include <stddef.h>

extern const unsigned char kyso_descriptor_set[];
extern const size_t kyso_descriptor_set_len;

#endif
