// The shared object of ProbeKernel.cpp, as bytes of the command.

__asm__(".section .rodata\n"
        ".global moecProbeBegin, moecProbeEnd\n"
        "moecProbeBegin:\n"
        ".incbin \"" MOEC_PROBE_IMAGE "\"\n"
        "moecProbeEnd:\n"
        ".byte 0\n"
        ".text\n");
