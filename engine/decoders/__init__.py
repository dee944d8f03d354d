"""The decoders, one file for each part of the papers, equation first: query updates, prototypes, CPT; the context encoder,
SemanticFPN, HFGD; a plain classifier on a dilated backbone. Each turns a pyramid into logits, and `trace` returns what it did."""
