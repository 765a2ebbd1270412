# Included right after llama.cpp's own project(); llama-cpp-python leaves no other way in.

# llama-cpp-python forces llama.cpp's common library (chat parsing, downloads, arguments) to be
# built, and ships nothing of it.
set(LLAMA_BUILD_COMMON OFF)

# Compiled for a processor with AMX, llama.cpp dies of an illegal instruction at the first quantised
# layer (gcc drops the stores that fill the tile configuration; llama.cpp pull request 26954). All
# else that the processor has stays in use.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  include(CheckCXXCompilerFlag)
  check_cxx_compiler_flag(-mno-amx-tile COMPILER_KNOWS_AMX)
  if(CMAKE_VERSION VERSION_LESS 3.19)
    set(GGML_NATIVE OFF)
  elseif(COMPILER_KNOWS_AMX)
    # Deferred to the end, so that it stands after the -march=native of ggml's own folder.
    cmake_language(DEFER CALL target_compile_options ggml-cpu PRIVATE -mno-amx-tile -mno-amx-int8 -mno-amx-bf16)
  endif()
endif()
