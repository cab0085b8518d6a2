"""How options are declared, parsed and checked. The options themselves are declared by the rooms that use them."""
