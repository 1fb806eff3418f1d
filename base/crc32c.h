/* CRC-32C (Castagnoli, RFC 3720 appendix B.4), with the SSE4.2 instruction where the CPU has it. */
#ifndef BASE_CRC32C_H
#define BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* crc: 0 to start, or the result for the bytes before. */
uint32_t crc32c(uint32_t crc, const void *p, size_t n);

#endif
