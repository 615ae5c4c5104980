// SPDX-License-Identifier: Apache-2.0

package dfa

// The tables of the kernel (security/apparmor/include/match.h): a header, then each table with its own. All numbers are big-endian.
const (
	tablesMagic  = 0x1B5E783D
	headerLength = 24 // ours: magic, length of the header, length of it all, flags, "notflex" and its NUL, padding
	headerFixed  = 16 // what the kernel demands at least
	tableHeader  = 12 // id, width, an unused word, count; then the data, padded to 8

	flagDifferences = 1 // of the header: some states are encoded as differences to their default state
	flagOutOfBand   = 2

	baseIndex       = 0x00ffffff // of a base word
	baseDifferences = 0x80000000
	baseOutOfBand   = 0x20000000

	transitionLength = 4                     // next and check of one
	classLength      = tableHeader + 256 + 4 // of the table of classes

	smallTables = 2048 // transitions up to which the table of classes weighs enough to do without it

	maximumStates16 = 1 << 16
)

// tableID numbers the tables as they are stored.
type tableID uint16

const (
	tableAccept  tableID = 1
	tableBase    tableID = 2
	tableCheck   tableID = 3
	tableDefault tableID = 4
	tableClass   tableID = 5
	tableAccept2 tableID = 7
	tableNext    tableID = 8
)

// aligned is n rounded up to the next multiple of 8.
func aligned(n int) int { return (n + 7) &^ 7 }
