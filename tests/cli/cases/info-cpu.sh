tamis info --cpu
