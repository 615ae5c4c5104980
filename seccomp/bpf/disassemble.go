// SPDX-License-Identifier: Apache-2.0

package bpf

import "fmt"

func describe(program []Instruction, pc int) string {
	return fmt.Sprintf("%#x", program[pc])
}
