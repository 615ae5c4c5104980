// SPDX-License-Identifier: Apache-2.0

#include "textflag.h"

// func compat(number, a, b, c, d, e, f uint64) int32
TEXT ·compat(SB), NOSPLIT, $0-60
	MOVQ number+0(FP), AX
	MOVQ a+8(FP), BX
	MOVQ b+16(FP), CX
	MOVQ c+24(FP), DX
	MOVQ d+32(FP), SI
	MOVQ e+40(FP), DI
	MOVQ f+48(FP), R8
	PUSHQ BP
	MOVQ R8, BP
	INT  $0x80
	POPQ BP
	MOVL AX, ret+56(FP)
	RET
