# llama-cpp-python forces llama.cpp's common library (chat parsing, downloads, arguments)
# to be built, and ships nothing of it. Included after llama.cpp's own project(), this leaves it out.
set(LLAMA_BUILD_COMMON OFF)
