"""How options are declared, parsed and checked; knows no option."""
