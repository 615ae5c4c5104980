// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"encoding/binary"
	"fmt"

	"github.com/bulkhead-project/bulkhead/seccomp/bpf"
)

// AppendBinary appends all that Compile looks at: policies with the same bytes have the same filter. There is no way back.
func (p *Policy) AppendBinary(b []byte) ([]byte, error) {
	text := func(s string) { b = append(binary.AppendUvarint(b, uint64(len(s))), s...) }
	b = binary.BigEndian.AppendUint32(b, uint32(p.Default))
	b = binary.BigEndian.AppendUint32(b, uint32(p.Flags))
	b = append(b, p.Newest.Major, p.Newest.Minor)
	b = binary.AppendUvarint(b, uint64(len(p.ABIs)))
	for _, abi := range p.ABIs {
		text(abi.Name)
	}
	for i := range p.Rules {
		rule := &p.Rules[i]
		b = binary.BigEndian.AppendUint32(b, uint32(rule.Action))
		b = binary.AppendUvarint(b, uint64(len(rule.Names)))
		for _, name := range rule.Names {
			text(name)
		}
		b = binary.AppendUvarint(b, uint64(len(rule.Conditions)))
		for _, c := range rule.Conditions {
			b = append(b, byte(c.Index), byte(c.Op), byte(c.Width))
			b = binary.BigEndian.AppendUint64(b, c.Value)
			b = binary.BigEndian.AppendUint64(b, c.Mask)
		}
	}
	return b, nil
}

// DecodeFilter is the way back from Filter.Bytes. The program is one that the kernel takes, or an error.
func DecodeFilter(raw []byte, bigEndian bool, flags Flags) (*Filter, error) {
	program, err := bpf.Decode(bpf.Order(bigEndian), raw)
	if err == nil {
		err = bpf.Check(program)
	}
	if err != nil {
		return nil, fmt.Errorf("seccomp: %w", err)
	}
	return &Filter{Program: program, BigEndian: bigEndian, Flags: flags}, nil
}
