// SPDX-License-Identifier: Apache-2.0

package mcs

// Alive reports whether the container still exists: its record does, or its process runs. What cannot be found out is taken for alive.
// proc is where processes are looked up, "" for /proc.
func (h Holder) Alive(proc string) bool {
	if proc == "" {
		proc = "/proc"
	}
	return newWitness(proc).alive(h)
}
