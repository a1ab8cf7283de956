"""The tour: the whole way of a pull request with every part real, in a few minutes and without a GPU."""
