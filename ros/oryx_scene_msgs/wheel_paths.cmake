# Lets CMakeLists.txt build against the ROS 2 wheels from PyPI. Used through CMAKE_PROJECT_INCLUDE
# by pyproject.toml only, so that CMakeLists.txt stays an ordinary ament_cmake package.

# The wheels set no AMENT_PREFIX_PATH: their prefix is found from one of their Python packages.
if(NOT DEFINED ENV{AMENT_PREFIX_PATH} OR "$ENV{AMENT_PREFIX_PATH}" STREQUAL "")
  if(NOT Python3_EXECUTABLE)
    find_package(Python3 REQUIRED COMPONENTS Interpreter)
  endif()
  execute_process(
    COMMAND "${Python3_EXECUTABLE}" -c
      "import os, rosidl_cmake as m; p = os.path.dirname(m.__file__); print(os.path.abspath(os.path.join(p, *[os.pardir] * 4)))"
    OUTPUT_VARIABLE _ros_prefix
    OUTPUT_STRIP_TRAILING_WHITESPACE
    RESULT_VARIABLE _found
  )
  if(_found EQUAL 0)
    message(STATUS "ROS 2 wheels found in ${_ros_prefix}")
    set(ENV{AMENT_PREFIX_PATH} "${_ros_prefix}")
    list(APPEND CMAKE_PREFIX_PATH "${_ros_prefix}")
  endif()
endif()

# The wheels' exported targets name include directories of the machine that built the wheels, which
# CMake refuses. Only paths that do not exist are dropped: an ordinary installation is unchanged.
function(_drop_missing_include_dirs)
  get_property(_targets DIRECTORY PROPERTY IMPORTED_TARGETS)
  foreach(_target IN LISTS _targets)
    foreach(_property INTERFACE_INCLUDE_DIRECTORIES INTERFACE_SYSTEM_INCLUDE_DIRECTORIES)
      get_target_property(_dirs ${_target} ${_property})
      if(NOT _dirs)
        continue()
      endif()
      set(_kept "")
      foreach(_dir IN LISTS _dirs)
        if(NOT IS_ABSOLUTE "${_dir}" OR EXISTS "${_dir}")
          list(APPEND _kept "${_dir}")
        endif()
      endforeach()
      if(NOT "${_kept}" STREQUAL "${_dirs}")
        set_target_properties(${_target} PROPERTIES ${_property} "${_kept}")
      endif()
    endforeach()
  endforeach()
endfunction()
cmake_language(DEFER CALL _drop_missing_include_dirs)
