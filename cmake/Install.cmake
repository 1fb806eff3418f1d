# What `make install` puts under PREFIX. Absolute destinations (/etc) obey DESTDIR as the rest does.
include(GNUInstallDirs)

set(bindir ${CMAKE_INSTALL_BINDIR})
foreach(program kelpie kelpie-agent kelpie-collector)
	if(TARGET ${program})
		install(TARGETS ${program} RUNTIME DESTINATION ${bindir})
	endif()
endforeach()

install(FILES docs/man/kelpie.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES docs/man/kelpie-agent.8 docs/man/kelpie-collector.8 DESTINATION ${CMAKE_INSTALL_MANDIR}/man8)
install(FILES deploy/systemd/kelpie.sysusers DESTINATION lib/sysusers.d RENAME kelpie.conf)
install(FILES deploy/kelpie.yaml README.md ARCHITECTURE.md docs/support-matrix.md
	DESTINATION ${CMAKE_INSTALL_DOCDIR})

# The prefix is known at install time only (cmake --install --prefix).
install(CODE "
	set(bindir \"\${CMAKE_INSTALL_PREFIX}/${bindir}\")
	set(work \"${CMAKE_BINARY_DIR}/install\")
	set(destdir \"\$ENV{DESTDIR}\")
	configure_file(\"${CMAKE_SOURCE_DIR}/deploy/systemd/kelpie.service.in\" \"\${work}/kelpie.service\" @ONLY)
	file(INSTALL \"\${work}/kelpie.service\" DESTINATION \"\${CMAKE_INSTALL_PREFIX}/lib/systemd/system\")
	if(NOT EXISTS \"\${destdir}/etc/kelpie/kelpie.yaml\")
		file(INSTALL \"${CMAKE_SOURCE_DIR}/deploy/kelpie.yaml\" DESTINATION /etc/kelpie)
	endif()")

if(TARGET kelpie)
	install(CODE "
		file(CREATE_LINK kelpie \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${bindir}/kubectl-kelpie\" SYMBOLIC)
		file(CREATE_LINK kelpie \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${bindir}/kubectl_complete-kelpie\" SYMBOLIC)
		set(share \"\${CMAKE_INSTALL_PREFIX}/share\")
		foreach(pair bash:bash-completion/completions/kelpie zsh:zsh/site-functions/_kelpie
				fish:fish/vendor_completions.d/kelpie.fish)
			string(REPLACE \":\" \";\" pair \"\${pair}\")
			list(GET pair 0 shell)
			list(GET pair 1 path)
			cmake_path(GET path PARENT_PATH folder)
			cmake_path(GET path FILENAME file)
			execute_process(COMMAND ${CMAKE_RUNTIME_OUTPUT_DIRECTORY}/kelpie completion \${shell}
				OUTPUT_FILE \"\${work}/\${file}\" ERROR_QUIET RESULT_VARIABLE status)
			if(status EQUAL 0)
				file(INSTALL \"\${work}/\${file}\" DESTINATION \"\${share}/\${folder}\")
			endif()
		endforeach()")
endif()
