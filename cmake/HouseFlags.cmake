# house_flags: what every user-side target is compiled with. Targets only, nothing directory-wide.
include(CheckCCompilerFlag)

add_library(house_flags INTERFACE)
target_compile_features(house_flags INTERFACE c_std_17)
target_compile_definitions(house_flags INTERFACE _GNU_SOURCE KELPIE_VERSION="${PROJECT_VERSION}")
target_compile_options(house_flags INTERFACE
	-std=gnu17 -Wall -Wextra -fno-common -fvisibility=hidden -fno-strict-aliasing
	-ffile-prefix-map=${CMAKE_SOURCE_DIR}=.
	$<$<COMPILE_LANGUAGE:C>:SHELL:-include ${CMAKE_SOURCE_DIR}/base/banned.h>)
if(KELPIE_WERROR)
	target_compile_options(house_flags INTERFACE -Werror)
endif()

set(picky_warnings
	conversion shadow vla missing-prototypes strict-prototypes old-style-definition
	pointer-arith write-strings undef format=2 cast-qual implicit-fallthrough
	null-dereference logical-op duplicated-cond duplicated-branches)
foreach(name IN LISTS picky_warnings)
	string(MAKE_C_IDENTIFIER "HAVE_W_${name}" var)
	check_c_compiler_flag("-W${name}" ${var})
	if(${var})
		target_compile_options(house_flags INTERFACE $<$<COMPILE_LANGUAGE:C>:-W${name}>)
	endif()
endforeach()

if(KELPIE_SANITIZE)
	target_compile_options(house_flags INTERFACE -fsanitize=${KELPIE_SANITIZE}
		-fno-sanitize-recover=all -fno-omit-frame-pointer)
	target_link_options(house_flags INTERFACE -fsanitize=${KELPIE_SANITIZE})
elseif(CMAKE_BUILD_TYPE STREQUAL "Release")
	target_compile_options(house_flags INTERFACE -O2 -g -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
		-fstack-protector-strong -fPIE $<$<STREQUAL:${CMAKE_SYSTEM_PROCESSOR},x86_64>:-fcf-protection>)
	target_link_options(house_flags INTERFACE -pie -Wl,-z,relro,-z,now -Wl,-z,noexecstack)
endif()
