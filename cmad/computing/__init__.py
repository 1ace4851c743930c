"""How and where is computed: device, precision, processes, chance."""
