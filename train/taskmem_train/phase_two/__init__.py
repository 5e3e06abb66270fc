"""Phase Two of TaskMem: what to memorize, from recent tasks, as a small adapter on a frozen policy."""
