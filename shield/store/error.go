// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
)

// Kind is what is wrong, as far as it decides what to do.
type Kind uint8

// What is wrong with an image, its storage or a call.
const (
	WrongKey   Kind = iota + 1 // the key is not this image's
	Tampered                   // something does not authenticate, or contradicts what does
	RolledBack                 // authentic, and older than the anchor knows
	Busy                       // another process has it open
	Full                       // no space; nothing was changed
	Lost                       // the storage failed or is gone
	Format                     // not an image, or of a version that is not known; or a call that cannot be
	ReadOnly                   // a change to what was opened for reading
)

var kindNames = [...]string{WrongKey: "wrong key", Tampered: "tampered", RolledBack: "rolled back", Busy: "busy", Full: "full", Lost: "storage lost", Format: "format", ReadOnly: "read-only"}

// String is the kind in words.
func (k Kind) String() string {
	if int(k) < len(kindNames) && kindNames[k] != "" {
		return kindNames[k]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Error is any error of this package.
type Error struct {
	Kind  Kind
	Place string // a block and what it is for, or a key
	What  string
	Hint  string // what to do; may be empty
	Err   error  // the cause; may be nil
}

// Error is the kind, place and fault, without the hint.
func (e *Error) Error() string {
	text := e.Kind.String() + ": " + e.Place
	if e.What != "" {
		text += ": " + e.What
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf is the kind of an error of this package, and 0 for others.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return 0
}

// lost wraps an error of the backing or the anchor; one that has a kind already keeps it.
func lost(where string, err error) *Error {
	var known *Error
	if errors.As(err, &known) {
		return &Error{Kind: known.Kind, Place: where, Hint: known.Hint, Err: err}
	}
	return &Error{Kind: Lost, Place: where, Err: err, Hint: "look at the storage beneath the volume: what was synced is there once it is back"}
}

func tampered(where, what string) *Error {
	return &Error{Kind: Tampered, Place: where, What: what, Hint: "the storage changed it: restore a backup of the whole volume, and do not trust this storage"}
}

// place names blocks of the image.
func place(address uint64, blocks int) string {
	if blocks == 1 {
		return fmt.Sprintf("block %d", address)
	}
	return fmt.Sprintf("blocks %d to %d", address, address+uint64(blocks)-1)
}
