"""The Python future kernel: `python3 -I kernels/python/kernel DSSFutureKernelMain` (see docs of the kernel protocol)."""
from dss_kernel.main import main

if __name__ == "__main__":
    main()
