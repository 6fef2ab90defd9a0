# Compiler flags of every target. No -ffast-math, and no contraction that the source does not
# ask for: where a fused multiply-add is meant it is written as one, so that the bits of a result
# do not depend on the compiler's taste.
add_compile_definitions(_POSIX_C_SOURCE=200809L _GNU_SOURCE FS_VERSION="${PROJECT_VERSION}")
add_compile_options(-ffp-contract=off -fno-math-errno -fno-strict-aliasing -fstack-protector-strong
  -fvisibility=hidden
  -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla
  -Wpointer-arith -Wcast-qual -Wundef -Wformat=2 -Wno-unused-parameter)
if(CMAKE_C_COMPILER_ID STREQUAL GNU)
  # gcc cannot see that a failing status is never FS_OK and suspects every out parameter at -O3;
  # clang's analyzer, which follows the values, is in the lint tests.
  add_compile_options(-Wno-maybe-uninitialized)
endif()
if(FS_WERROR)
  add_compile_options(-Werror)
endif()
if(FS_SANITIZE)
  add_compile_options(-fsanitize=${FS_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${FS_SANITIZE})
endif()

# fs_module(NAME DEPS...): the folder's *.c but main.c as a static library that exports only its
# own folder, by -iquote so that "limits.h" is ours and <limits.h> the system's.
function(fs_module name)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.c)
  list(FILTER sources EXCLUDE REGEX "/main(_[a-z]+)?\\.c$")
  set(kind STATIC)
  set(visibility PUBLIC)
  if(NOT sources)
    set(kind INTERFACE)
    set(visibility INTERFACE)
  endif()
  add_library(${name} ${kind} ${sources})
  target_compile_options(${name} ${visibility} "SHELL:-iquote ${CMAKE_CURRENT_SOURCE_DIR}")
  target_link_libraries(${name} ${visibility} ${ARGN})
endfunction()
