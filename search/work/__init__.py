"""The kinds of work: a search by a supernet, a sweep, a search in a table, training of finalists, lottery tickets."""
