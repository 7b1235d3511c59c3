#include "textflag.h"

// func getrlimit(limit *Rlimit)
TEXT ·getrlimit(SB),NOSPLIT,$0-8
	MOVD	limit+0(FP), R3
	MOVD	ZR, R0
	MOVD	$7, R1 // RLIMIT_NOFILE
	MOVD	ZR, R2
	MOVD	$261, R8 // prlimit64
	SVC
	RET
