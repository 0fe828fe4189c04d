tamis info --groups --cpu
