// SPDX-License-Identifier: Apache-2.0

package anchor

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// Numbers of the TPM 2.0 Library specification, part 2: structures, and part 3: commands.
const (
	tagSessions  = 0x8002     // TPM_ST_SESSIONS
	commandRead  = 0x0000014e // TPM_CC_NV_Read
	commandCount = 0x00000134 // TPM_CC_NV_Increment
	password     = 0x40000009 // TPM_RS_PW
	responseBusy = 0x922      // TPM_RC_RETRY
	responseRate = 0x920      // TPM_RC_NV_RATE: the memory is spared
	responseSlow = 0x908      // TPM_RC_YIELDED
	maximumReply = 4096
)

// Counter is an NV counter of a TPM that was made before. Its two commands are written out here, so that the process that serves a volume needs no library for them.
type Counter struct {
	Device io.ReadWriter // the TPM: a command written is answered by what is read
	Index  uint32        // its handle, 0x01......
	Auth   []byte        // its password
}

// Read returns the value.
func (c *Counter) Read() (uint64, error) {
	reply, err := c.run("read", commandRead, []byte{0, 8, 0, 0}) // 8 bytes, from offset 0
	if err != nil {
		return 0, err
	}
	if len(reply) < 10 || binary.BigEndian.Uint16(reply) != 8 {
		return 0, c.fail("read", errors.New("the reply holds no counter"))
	}
	return binary.BigEndian.Uint64(reply[2:]), nil
}

// Increment counts on by one.
func (c *Counter) Increment() error {
	_, err := c.run("count", commandCount, nil)
	return err
}

func (c *Counter) fail(what string, err error) error {
	return fmt.Errorf("the TPM's counter 0x%08x: %s: %w", c.Index, what, err)
}

// run sends a command until the TPM has time for it, and returns the reply's parameters.
func (c *Counter) run(what string, code uint32, parameters []byte) ([]byte, error) {
	for wait := time.Millisecond; ; wait *= 2 {
		if _, err := c.Device.Write(c.command(code, parameters)); err != nil {
			return nil, c.fail(what, err)
		}
		reply, err := readReply(c.Device)
		if err != nil {
			return nil, c.fail(what, err)
		}
		response, parameters, err := parseReply(reply)
		switch {
		case err != nil:
			return nil, c.fail(what, err)
		case response == 0:
			return parameters, nil
		case (response == responseBusy || response == responseRate || response == responseSlow) && wait < 4*time.Second:
			time.Sleep(wait)
		default:
			return nil, c.fail(what, fmt.Errorf("the TPM answers with code 0x%x", response))
		}
	}
}

// command is one with the password of the index, which is both what authorises and what is used.
func (c *Counter) command(code uint32, parameters []byte) []byte {
	b := binary.BigEndian
	text := b.AppendUint16(nil, tagSessions)
	text = b.AppendUint32(text, 0) // the size, below
	text = b.AppendUint32(text, code)
	text = b.AppendUint32(b.AppendUint32(text, c.Index), c.Index)
	text = b.AppendUint32(text, uint32(9+len(c.Auth)))
	text = b.AppendUint32(text, password)
	text = append(text, 0, 0, 0) // no nonce, no attributes
	text = append(b.AppendUint16(text, uint16(len(c.Auth))), c.Auth...)
	text = append(text, parameters...)
	b.PutUint32(text[2:], uint32(len(text)))
	return text
}

// readReply reads as many bytes as the reply says it has. A device gives a reply by one read, a socket perhaps by several.
func readReply(from io.Reader) ([]byte, error) {
	reply := make([]byte, maximumReply)
	n, err := io.ReadAtLeast(from, reply, 10)
	if err != nil {
		return nil, err
	}
	size := int(binary.BigEndian.Uint32(reply[2:]))
	if size < 10 || size > maximumReply || n > size {
		return nil, fmt.Errorf("a reply of %d bytes that says it has %d", n, size)
	}
	_, err = io.ReadFull(from, reply[n:size])
	return reply[:size], err
}

// parseReply takes a reply apart.
func parseReply(reply []byte) (response uint32, parameters []byte, err error) {
	b := binary.BigEndian
	if len(reply) < 10 || int64(b.Uint32(reply[2:])) != int64(len(reply)) {
		return 0, nil, errors.New("the reply is cut off")
	}
	if response = b.Uint32(reply[6:]); response != 0 {
		return response, nil, nil
	}
	if b.Uint16(reply) != tagSessions || len(reply) < 14 || int64(b.Uint32(reply[10:])) > int64(len(reply)-14) {
		return 0, nil, errors.New("the reply has no parameters")
	}
	return 0, reply[14 : 14+b.Uint32(reply[10:])], nil
}
