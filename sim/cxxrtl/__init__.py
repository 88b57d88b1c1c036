"""An Amaranth component as a shared library, through CXXRTL and a C++ compiler."""
