tamis
