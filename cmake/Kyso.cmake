# SPDX-License-Identifier: Apache-2.0
# How every target of ours is compiled, the three kinds of target there are, and tests in Python.

option(KYSO_COVERAGE "Instrument for gcov" OFF)

set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ${KYSO_COVERAGE}) # in strict C gcc does not know execv(2), and loses what a child counted before it
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

set(KYSO_SANITIZE "" CACHE STRING "Sanitizers for every target: address,undefined or thread")
option(KYSO_FUZZ "Instrument for libFuzzer (clang)" OFF)

find_program(KYSO_CCACHE ccache)
if(KYSO_CCACHE)
    set(CMAKE_C_COMPILER_LAUNCHER ${KYSO_CCACHE})
endif()

add_library(kyso_flags INTERFACE)
target_compile_definitions(kyso_flags INTERFACE _GNU_SOURCE KYSO_VERSION="${PROJECT_VERSION}")
target_compile_options(kyso_flags INTERFACE
    -Wall -Wextra -Werror -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla
    -Wpointer-arith -Wwrite-strings -Wformat=2 -Wundef -fno-common -fstack-protector-strong)
target_link_options(kyso_flags INTERFACE -Wl,-z,relro,-z,now -pie)
if(CMAKE_BUILD_TYPE STREQUAL "Release")
    include(CheckIPOSupported)
    check_ipo_supported(RESULT KYSO_IPO OUTPUT KYSO_IPO_WHY)
    set(CMAKE_INTERPROCEDURAL_OPTIMIZATION ${KYSO_IPO})
    target_compile_options(kyso_flags INTERFACE -O2 -g1 -D_FORTIFY_SOURCE=2 -fstack-clash-protection)
endif()
if(KYSO_SANITIZE)
    target_compile_options(kyso_flags INTERFACE
        -fsanitize=${KYSO_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
    target_link_options(kyso_flags INTERFACE -fsanitize=${KYSO_SANITIZE})
endif()
if(KYSO_COVERAGE)
    target_compile_definitions(kyso_flags INTERFACE KYSO_COVERAGE)
    target_compile_options(kyso_flags INTERFACE --coverage)
    target_link_options(kyso_flags INTERFACE --coverage)
endif()
if(KYSO_FUZZ)
    target_compile_options(kyso_flags INTERFACE -O1 -fsanitize=fuzzer-no-link)
    # gcc says so by itself
    target_compile_definitions(kyso_flags INTERFACE __SANITIZE_ADDRESS__=1)
endif()

# kyso_library(NAME SOURCES ... [PUBLIC libs...] [PRIVATE libs...] [INCLUDE public include dirs...])
function(kyso_library name)
    cmake_parse_arguments(ARG "" "" "SOURCES;PUBLIC;PRIVATE;INCLUDE" ${ARGN})
    add_library(${name} STATIC ${ARG_SOURCES})
    target_include_directories(${name} PUBLIC ${ARG_INCLUDE})
    target_link_libraries(${name} PUBLIC ${ARG_PUBLIC} PRIVATE kyso_flags ${ARG_PRIVATE})
endfunction()

# kyso_program(NAME SOURCES ... PRIVATE libs...)
function(kyso_program name)
    cmake_parse_arguments(ARG "" "" "SOURCES;PRIVATE" ${ARGN})
    add_executable(${name} ${ARG_SOURCES})
    target_link_libraries(${name} PRIVATE kyso_flags ${ARG_PRIVATE})
endfunction()

# kyso_unit_test(NAME SOURCES ... PRIVATE libs...): one cmocka program, one ctest entry
function(kyso_unit_test name)
    cmake_parse_arguments(ARG "" "" "SOURCES;PRIVATE" ${ARGN})
    add_executable(${name} ${ARG_SOURCES})
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
    target_link_libraries(${name} PRIVATE kyso_flags ${ARG_PRIVATE} PkgConfig::CMOCKA)
    add_test(NAME ${name} COMMAND ${name})
    set_tests_properties(${name} PROPERTIES TIMEOUT 120 LABELS unit)
endfunction()

# kyso_python_test(NAME RUN unittest's names... [ENVIRONMENT VAR=value...] [LONG] [SERIAL]): tests of the caller's folder on this build's
# programs. LONG: a campaign; SERIAL: nothing may run beside it.
function(kyso_python_test name)
    cmake_parse_arguments(ARG "LONG;SERIAL" "" "RUN;ENVIRONMENT" ${ARGN})
    add_test(NAME ${name} COMMAND ${SYSTEM_PYTHON} -m unittest -v ${ARG_RUN} WORKING_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR})
    set_tests_properties(${name} PROPERTIES TIMEOUT 600 LABELS integration
        ENVIRONMENT "KYSO_BIN=${CMAKE_RUNTIME_OUTPUT_DIRECTORY};PYTHONDONTWRITEBYTECODE=1;${ARG_ENVIRONMENT}")
    if(ARG_LONG)
        set_tests_properties(${name} PROPERTIES TIMEOUT 14400 LABELS long)
    endif()
    if(ARG_SERIAL)
        set_tests_properties(${name} PROPERTIES RUN_SERIAL TRUE)
    endif()
endfunction()
