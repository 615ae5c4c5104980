// SPDX-License-Identifier: Apache-2.0

// Package binary reads and writes compiled AppArmor policy, the stream that the kernel takes in .load and .replace
// (security/apparmor/policy_unpack.c).
//
// # Items
//
// A stream is a sequence of items, little-endian. An item may have a name, which the kernel compares exactly where it expects one:
//
//	item   = [ 4, length u16, name, NUL ] kind [ value ]
//	kind   = 0 u8 | 1 u16 | 2 u32 | 3 u64 | 5 string | 6 blob | 7 struct | 8 its end | 9 list | 10 its end | 11 array | 12 its end
//	string = length u16 (of the NUL, too), bytes, NUL
//	blob   = length u32, bytes
//	array  = number u16, then the items
//
// # Profiles
//
// Profiles stand one behind the other, each with its header. What is in brackets may be missing; the order is fixed.
//
//	"version" u32                 kernel ABI (5 to 9) | complain<<11 | parser ABI<<12 | policy ABI<<20
//	[ "namespace" string ]
//	struct "profile"
//	  string                      name; of a child or hat parent//child
//	  [ "rename" string ] [ "attach" string ]
//	  [ rules, u32 ]              the attachment, and how many bytes of it surely match
//	  [ "disconnected" string ] [ "disconnected_ipc" string ] [ "kill" u32 ] [ "error" u32 ]
//	  struct "flags"              u32 hat, u32 mode, u32 audit
//	  [ "path_flags" u32 ]
//	  u32 u32 u32 u32             capabilities: allowed, logged, quiet, unused
//	  [ struct "caps64" ]         their upper halves
//	  [ struct "capsx" ]          u32, u32: extended
//	  [ struct "xattrs" ]         an array of strings
//	  [ struct "rlimits" ]        u32 mask, an array of 16 u64
//	  [ struct "secmark" ]        an array of u8 audit, u8 deny, string label
//	  [ array "net_allowed_af" ]  3 u16 for each address family: types allowed, logged, quiet (kernels before network_v8)
//	  [ struct "policydb" ]       rules: everything but files
//	  [ rules ]                   files
//	  [ struct "data" ]           a string and a blob, repeatedly
//
//	rules:
//	  [ struct "tags" ]           names for the log, of newer kernels
//	  [ struct "perms" ]          "version" u32, an array of rows of 14 u32: then the accept words are indices of rows
//	  [ "permsv" u32 ]            over 2: the second accept word of a state may say that its row is for the owner and the next for others
//	  "aadfa" blob                the tables (package dfa), behind as many zeros as align them to 8 bytes from the start of the profile's header
//	  [ "start" u32 ] [ "dfa_start" u32 ]
//	  [ struct "xtable" ]         an array of strings: exec targets; a namespace is parted from the name by a NUL
//
// Decode refuses what the kernel would, and besides what it takes and nobody means: a namespace in a profile's name, NULs inside strings, and tables
// that unfold to more than 256 MiB.
package binary
