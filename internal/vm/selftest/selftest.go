// SPDX-License-Identifier: Apache-2.0

// Package selftest checks from inside that a guest of package vm is what the tests
// of other packages rely on. It has no code of its own.
package selftest
