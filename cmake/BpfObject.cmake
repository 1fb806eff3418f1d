# bpf_object(NAME SOURCE x.bpf.c [DEFINES X ...] DEPENDS headers...) compiles one BPF program for each supported
# architecture (clang -target bpf) and makes NAME_skel, an INTERFACE target that carries the generated
# skeleton NAME.skel.h of the build's own architecture. The other architectures are compiled so that
# they cannot rot.
find_program(BPF_CLANG NAMES clang)
find_program(BPFTOOL NAMES bpftool PATHS /usr/sbin /sbin)

function(bpf_object name)
	cmake_parse_arguments(B "" "SOURCE" "DEPENDS;DEFINES" ${ARGN})
	list(TRANSFORM B_DEFINES PREPEND -D)
	if(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
		set(own arm64)
	else()
		set(own x86)
	endif()
	set(objects)
	foreach(arch x86 arm64)
		set(obj ${CMAKE_CURRENT_BINARY_DIR}/${name}.${arch}.bpf.o)
		add_custom_command(OUTPUT ${obj}
			COMMAND ${BPF_CLANG} -g -O2 -std=gnu17 -target bpf -mcpu=v2 -D__TARGET_ARCH_${arch}
				${B_DEFINES} -Wall -Wextra -Werror
				-Wno-gnu-variable-sized-type-not-at-end -I${CMAKE_SOURCE_DIR}
				-ffile-prefix-map=${CMAKE_SOURCE_DIR}=. -fdebug-compilation-dir=.
				-c ${CMAKE_CURRENT_SOURCE_DIR}/${B_SOURCE} -o ${obj}
			DEPENDS ${B_SOURCE} ${B_DEPENDS}
			COMMENT "BPF ${name} (${arch})" VERBATIM)
		list(APPEND objects ${obj})
	endforeach()
	set(skel_dir ${CMAKE_CURRENT_BINARY_DIR}/skel)
	set(skel ${skel_dir}/${name}.skel.h)
	file(MAKE_DIRECTORY ${skel_dir})
	add_custom_command(OUTPUT ${skel}
		COMMAND sh -c "${BPFTOOL} gen skeleton ${CMAKE_CURRENT_BINARY_DIR}/${name}.${own}.bpf.o name ${name} > ${skel}.tmp && mv ${skel}.tmp ${skel}"
		DEPENDS ${objects} VERBATIM)
	add_custom_target(${name}_gen DEPENDS ${skel})
	add_library(${name}_skel INTERFACE)
	add_dependencies(${name}_skel ${name}_gen)
	target_include_directories(${name}_skel SYSTEM INTERFACE ${skel_dir})
endfunction()
