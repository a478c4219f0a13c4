"""One module per outside system; errors of a lower library are translated here, once."""
