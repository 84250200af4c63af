# How everything is compiled: the standard, warnings as errors, sanitizers, and one function per
# kind of target.
option(EVERSTEP_TESTS "Build tests, fuzz targets and benchmarks" ON)
option(EVERSTEP_FUZZ "Instrument everything for libFuzzer (clang only; preset fuzz)" OFF)
set(EVERSTEP_SANITIZE "" CACHE STRING "Sanitizers, as -fsanitize= takes them")

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
get_filename_component(EVERSTEP_ROOT "${CMAKE_CURRENT_LIST_DIR}" DIRECTORY)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "" FORCE)
endif()

find_program(EVERSTEP_CCACHE ccache)
if(EVERSTEP_CCACHE)
  set(CMAKE_C_COMPILER_LAUNCHER "${EVERSTEP_CCACHE}")
  set(CMAKE_CXX_COMPILER_LAUNCHER "${EVERSTEP_CCACHE}")
endif()
find_program(EVERSTEP_MOLD mold)
if(EVERSTEP_MOLD)
  add_link_options(-fuse-ld=mold)
endif()
# All symbols are bound before main(), and their table is read-only then: nothing is looked up
# inside the first read of a block, and nothing can be exchanged there.
add_link_options(-Wl,-z,relro,-z,now)
if(EVERSTEP_SANITIZE)
  add_compile_options(-fsanitize=${EVERSTEP_SANITIZE} -fno-omit-frame-pointer
    -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${EVERSTEP_SANITIZE})
endif()
if(EVERSTEP_SANITIZE STREQUAL "thread")
  # ThreadSanitizer does not model fences (g++ says so, as an error): Asio goes without its own. Its
  # queues are behind a mutex, which orders what they hand over.
  add_compile_definitions(BOOST_ASIO_DISABLE_FENCED_BLOCK)
endif()
if(EVERSTEP_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

# Warnings are errors for our sources; generated code is compiled without them. clang's -Wconversion
# holds -Wsign-conversion, g++'s does not: both compilers are asked for the same.
function(everstep_warnings target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wshadow -Wconversion -Werror
    $<$<CXX_COMPILER_ID:Clang>:-Wno-sign-conversion>)
endfunction()

# everstep_library(name SOURCES a.cpp .. LINK other ..)
function(everstep_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK;LINK_PRIVATE" ${ARGN})
  add_library(everstep_${name} STATIC ${ARG_SOURCES})
  target_include_directories(everstep_${name} PUBLIC "${EVERSTEP_ROOT}")
  target_link_libraries(everstep_${name} PUBLIC ${ARG_LINK} PRIVATE ${ARG_LINK_PRIVATE})
  everstep_warnings(everstep_${name})
endfunction()

# everstep_program(name SOURCES .. LINK ..): build/bin/name
function(everstep_program name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE "${EVERSTEP_ROOT}")
  target_link_libraries(${name} PRIVATE ${ARG_LINK})
  everstep_warnings(${name})
endfunction()

# everstep_test(name SOURCES .. LINK ..): a GoogleTest program, registered with CTest
function(everstep_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE "${EVERSTEP_ROOT}")
  target_link_libraries(${name} PRIVATE ${ARG_LINK} GTest::gtest GTest::gmock GTest::gtest_main)
  everstep_warnings(${name})
  add_test(NAME ${name} COMMAND ${name})
  set(seconds 600)
  if(EVERSTEP_SANITIZE)  # they make the longest ones ten times as slow
    set(seconds 3600)
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${seconds})
endfunction()
