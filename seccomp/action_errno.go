// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"slices"
	"strings"

	"github.com/bulkhead-project/bulkhead/seccomp/syscalls"
)

// errno is the number of an error on the architectures, 0 where there is none. Source: Linux, asm-generic/errno-base.h and errno.h, and
// asm/errno.h of mips and parisc. ENOTSUP is the C library's name.
type errno struct {
	name                  string
	generic, mips, parisc uint16
}

// findErrno returns the error of that name (EPERM), or nil.
func findErrno(name string) *errno {
	i, ok := slices.BinarySearchFunc(errnos[:], name, func(e errno, name string) int { return strings.Compare(e.name, name) })
	if !ok {
		return nil
	}
	return &errnos[i]
}

// errnoNumber returns the number that a process of the ABI sees for an error by its name, or 0. EDEADLOCK is EDEADLK everywhere but on PowerPC.
func errnoNumber(name string, abi *syscalls.ABI) uint16 {
	switch e := findErrno(name); {
	case e == nil:
		return 0
	case strings.HasPrefix(abi.Name, "mips"):
		return e.mips
	case strings.HasPrefix(abi.Name, "parisc"):
		return e.parisc
	case strings.HasPrefix(abi.Name, "ppc") && name == "EDEADLOCK":
		return 58
	default:
		return e.generic
	}
}

// errnoName returns the name of an error by its number on an ABI, or "".
func errnoName(number uint16, abi *syscalls.ABI) string {
	for i := range errnos {
		if number != 0 && errnoNumber(errnos[i].name, abi) == number {
			return errnos[i].name
		}
	}
	return ""
}

// errnos are sorted by name.
var errnos = [...]errno{
	{"E2BIG", 7, 7, 7},
	{"EACCES", 13, 13, 13},
	{"EADDRINUSE", 98, 125, 226},
	{"EADDRNOTAVAIL", 99, 126, 227},
	{"EADV", 68, 68, 58},
	{"EAFNOSUPPORT", 97, 124, 225},
	{"EAGAIN", 11, 11, 11},
	{"EALREADY", 114, 149, 244},
	{"EBADE", 52, 50, 160},
	{"EBADF", 9, 9, 9},
	{"EBADFD", 77, 81, 168},
	{"EBADMSG", 74, 77, 67},
	{"EBADR", 53, 51, 161},
	{"EBADRQC", 56, 54, 164},
	{"EBADSLT", 57, 55, 165},
	{"EBFONT", 59, 59, 166},
	{"EBUSY", 16, 16, 16},
	{"ECANCELED", 125, 158, 253},
	{"ECHILD", 10, 10, 10},
	{"ECHRNG", 44, 37, 37},
	{"ECOMM", 70, 70, 60},
	{"ECONNABORTED", 103, 130, 231},
	{"ECONNREFUSED", 111, 146, 239},
	{"ECONNRESET", 104, 131, 232},
	{"EDEADLK", 35, 45, 45},
	{"EDEADLOCK", 35, 56, 45},
	{"EDESTADDRREQ", 89, 96, 217},
	{"EDOM", 33, 33, 33},
	{"EDOTDOT", 73, 73, 66},
	{"EDQUOT", 122, 1133, 69},
	{"EEXIST", 17, 17, 17},
	{"EFAULT", 14, 14, 14},
	{"EFBIG", 27, 27, 27},
	{"EHOSTDOWN", 112, 147, 241},
	{"EHOSTUNREACH", 113, 148, 242},
	{"EHWPOISON", 133, 168, 257},
	{"EIDRM", 43, 36, 36},
	{"EILSEQ", 84, 88, 47},
	{"EINPROGRESS", 115, 150, 245},
	{"EINTR", 4, 4, 4},
	{"EINVAL", 22, 22, 22},
	{"EIO", 5, 5, 5},
	{"EISCONN", 106, 133, 234},
	{"EISDIR", 21, 21, 21},
	{"EISNAM", 120, 139, 180},
	{"EKEYEXPIRED", 127, 162, 185},
	{"EKEYREJECTED", 129, 164, 187},
	{"EKEYREVOKED", 128, 163, 186},
	{"EL2HLT", 51, 44, 44},
	{"EL2NSYNC", 45, 38, 38},
	{"EL3HLT", 46, 39, 39},
	{"EL3RST", 47, 40, 40},
	{"ELIBACC", 79, 83, 170},
	{"ELIBBAD", 80, 84, 171},
	{"ELIBEXEC", 83, 87, 174},
	{"ELIBMAX", 82, 86, 173},
	{"ELIBSCN", 81, 85, 172},
	{"ELNRNG", 48, 41, 41},
	{"ELOOP", 40, 90, 249},
	{"EMEDIUMTYPE", 124, 160, 183},
	{"EMFILE", 24, 24, 24},
	{"EMLINK", 31, 31, 31},
	{"EMSGSIZE", 90, 97, 218},
	{"EMULTIHOP", 72, 74, 64},
	{"ENAMETOOLONG", 36, 78, 248},
	{"ENAVAIL", 119, 138, 179},
	{"ENETDOWN", 100, 127, 228},
	{"ENETRESET", 102, 129, 230},
	{"ENETUNREACH", 101, 128, 229},
	{"ENFILE", 23, 23, 23},
	{"ENOANO", 55, 53, 163},
	{"ENOBUFS", 105, 132, 233},
	{"ENOCSI", 50, 43, 43},
	{"ENODATA", 61, 61, 51},
	{"ENODEV", 19, 19, 19},
	{"ENOENT", 2, 2, 2},
	{"ENOEXEC", 8, 8, 8},
	{"ENOKEY", 126, 161, 184},
	{"ENOLCK", 37, 46, 46},
	{"ENOLINK", 67, 67, 57},
	{"ENOMEDIUM", 123, 159, 182},
	{"ENOMEM", 12, 12, 12},
	{"ENOMSG", 42, 35, 35},
	{"ENONET", 64, 64, 50},
	{"ENOPKG", 65, 65, 55},
	{"ENOPROTOOPT", 92, 99, 220},
	{"ENOSPC", 28, 28, 28},
	{"ENOSR", 63, 63, 53},
	{"ENOSTR", 60, 60, 54},
	{"ENOSYS", 38, 89, 251},
	{"ENOTBLK", 15, 15, 15},
	{"ENOTCONN", 107, 134, 235},
	{"ENOTDIR", 20, 20, 20},
	{"ENOTEMPTY", 39, 93, 247},
	{"ENOTNAM", 118, 137, 178},
	{"ENOTRECOVERABLE", 131, 166, 255},
	{"ENOTSOCK", 88, 95, 216},
	{"ENOTSUP", 95, 122, 223},
	{"ENOTTY", 25, 25, 25},
	{"ENOTUNIQ", 76, 80, 167},
	{"ENXIO", 6, 6, 6},
	{"EOPNOTSUPP", 95, 122, 223},
	{"EOVERFLOW", 75, 79, 72},
	{"EOWNERDEAD", 130, 165, 254},
	{"EPERM", 1, 1, 1},
	{"EPFNOSUPPORT", 96, 123, 224},
	{"EPIPE", 32, 32, 32},
	{"EPROTO", 71, 71, 61},
	{"EPROTONOSUPPORT", 93, 120, 221},
	{"EPROTOTYPE", 91, 98, 219},
	{"ERANGE", 34, 34, 34},
	{"EREMCHG", 78, 82, 169},
	{"EREMOTE", 66, 66, 71},
	{"EREMOTEIO", 121, 140, 181},
	{"ERESTART", 85, 91, 175},
	{"ERFKILL", 132, 167, 256},
	{"EROFS", 30, 30, 30},
	{"ESHUTDOWN", 108, 143, 236},
	{"ESOCKTNOSUPPORT", 94, 121, 222},
	{"ESPIPE", 29, 29, 29},
	{"ESRCH", 3, 3, 3},
	{"ESRMNT", 69, 69, 59},
	{"ESTALE", 116, 151, 70},
	{"ESTRPIPE", 86, 92, 176},
	{"ETIME", 62, 62, 52},
	{"ETIMEDOUT", 110, 145, 238},
	{"ETOOMANYREFS", 109, 144, 237},
	{"ETXTBSY", 26, 26, 26},
	{"EUCLEAN", 117, 135, 177},
	{"EUNATCH", 49, 42, 42},
	{"EUSERS", 87, 94, 68},
	{"EWOULDBLOCK", 11, 11, 11},
	{"EXDEV", 18, 18, 18},
	{"EXFULL", 54, 52, 162},
}
