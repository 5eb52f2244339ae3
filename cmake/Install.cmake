# What `cmake --install` leaves: the command, the libraries, one C++ header, one C header, the emulator's header, and how CMake and pkg-config find them.

# moec_public_header(<name> TITLE <text> [BEHIND <other>] HEADERS ...): include/moec/<name> out of headers of the source tree, each behind those that it includes; includes the other one.
function(moec_public_header name)
  cmake_parse_arguments(HEADER "" "TITLE;BEHIND" "HEADERS" ${ARGN})
  set(out ${PROJECT_BINARY_DIR}/include/moec/${name})
  list(JOIN HEADER_HEADERS " " list)
  set_property(GLOBAL PROPERTY moec_headers_of_${name} "${list}")
  get_property(known GLOBAL PROPERTY moec_headers_of_${HEADER_BEHIND})
  list(TRANSFORM HEADER_HEADERS PREPEND ${PROJECT_SOURCE_DIR}/)
  add_custom_command(OUTPUT ${out}
    COMMAND ${CMAKE_COMMAND} -DROOT=${PROJECT_SOURCE_DIR} -DOUT=${out} "-DTITLE=${HEADER_TITLE}" "-DHEADERS=${list}" -DBEHIND=${HEADER_BEHIND} "-DKNOWN=${known}" -P ${PROJECT_SOURCE_DIR}/cmake/PublicHeader.cmake
    COMMAND ${CMAKE_COMMAND} -E touch ${out}
    DEPENDS ${HEADER_HEADERS} ${PROJECT_SOURCE_DIR}/cmake/PublicHeader.cmake VERBATIM)
  add_custom_target(moec_header_${name} ALL DEPENDS ${out})
  install(FILES ${out} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/moec)
endfunction()

moec_public_header(moec.h
  TITLE "moec for C++20 programs: compile a model or load a compiled program, open a session on a device, run it. Errors are moec::Error."
  HEADERS
    runtime/core/DType.h
    runtime/core/Error.h
    runtime/core/Tensor.h
    runtime/core/DLPack.h
    runtime/core/Size.h
    runtime/core/Plan.h
    runtime/core/Program.h
    runtime/core/Trace.h
    runtime/device/Host.h
    runtime/device/Device.h
    runtime/Weights.h
    runtime/GateRecord.h
    runtime/Session.h
    runtime/Training.h
    runtime/Generator.h
    runtime/io/InputFile.h
    runtime/Compile.h)
moec_public_header(train.h
  TITLE "moec for C++20 programs that train: data as datasets and batches, tokenizers, and the loop of a training. Link moec::train."
  BEHIND moec.h
  HEADERS
    runtime/data/Dataset.h
    runtime/data/Order.h
    runtime/data/Loader.h
    runtime/data/Tokenizer.h
    runtime/data/TextStream.h
    runtime/data/Text.h
    runtime/data/Shipped.h
    runtime/data/OpenData.h
    runtime/train/Schedule.h
    runtime/train/Config.h
    runtime/train/Checkpoint.h
    runtime/train/Trainer.h)
install(FILES ${PROJECT_SOURCE_DIR}/runtime/c/c_api.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/moec)
if(MOEC_EMULATOR)
  moec_public_header(emulator.h
    TITLE "moec's PTX emulator for any program: CUDA kernels tried without a GPU."
    HEADERS runtime/device/cuda/DriverTable.h runtime/emulator/Emulator.h)
  install(TARGETS moec_emulator LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
install(TARGETS moec_runtime moec_train moec_compiler LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})

# Other projects: find_package(moec), or pkg-config moec.
include(CMakePackageConfigHelpers)
set(packageFolder ${CMAKE_INSTALL_LIBDIR}/cmake/moec)
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/moecConfig.cmake.in ${PROJECT_BINARY_DIR}/moecConfig.cmake
  INSTALL_DESTINATION ${packageFolder} PATH_VARS CMAKE_INSTALL_INCLUDEDIR CMAKE_INSTALL_LIBDIR)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/moecConfigVersion.cmake COMPATIBILITY SameMinorVersion)
configure_file(${PROJECT_SOURCE_DIR}/cmake/moec.pc.in ${PROJECT_BINARY_DIR}/moec.pc @ONLY)
configure_file(${PROJECT_SOURCE_DIR}/cmake/moec-train.pc.in ${PROJECT_BINARY_DIR}/moec-train.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/moecConfig.cmake ${PROJECT_BINARY_DIR}/moecConfigVersion.cmake DESTINATION ${packageFolder})
install(FILES ${PROJECT_BINARY_DIR}/moec.pc ${PROJECT_BINARY_DIR}/moec-train.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
