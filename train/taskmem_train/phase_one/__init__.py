"""Phase One of TaskMem (arXiv 2605.31075), how to memorize: GSPO over format, thinking, quality, richness."""
