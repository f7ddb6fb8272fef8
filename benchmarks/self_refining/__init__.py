"""Does a noisy dataset clean itself? The label tables of Koo et al. 2023 on songs whose faults are known."""
