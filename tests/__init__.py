"""The test world: fakes of outside services, harnesses for the installed command, checkers, and the tests."""
