// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
)

const (
	nonceSize = 12
	tagSize   = 16
)

// Policies of a volume, as its header has them.
const (
	PolicyEncrypted     uint8 = 1 // contents cannot be read
	PolicyAuthenticated uint8 = 2 // contents are in the clear and cannot be changed unnoticed
	PolicyEphemeral     uint8 = 3 // as encrypted, under a key that is never stored
)

// cipherAES256GCM is the only cipher of format version 1.
const cipherAES256GCM = 1

// Keys are the keys of one volume.
type Keys struct {
	volume                        [16]byte
	version, policy               uint8
	root, tree, log, data, checks []byte
}

// NewKeys derives a volume's keys of its master key (32 bytes) and of what its header says, so that a header that was changed gives other keys.
func NewKeys(master []byte, volume [16]byte, version, policy uint8) (Keys, error) {
	if len(master) != 32 {
		return Keys{}, fmt.Errorf("a master key of %d bytes, where 32 are wanted", len(master))
	}
	if version != formatVersion {
		return Keys{}, &Error{Kind: Format, Place: "the header", What: fmt.Sprintf("format version %d, where %d is known", version, formatVersion)}
	}
	if policy < PolicyEncrypted || policy > PolicyEphemeral {
		return Keys{}, &Error{Kind: Format, Place: "the header", What: fmt.Sprintf("policy %d is not known", policy)}
	}
	salt := append(volume[:], version, policy, cipherAES256GCM)
	extracted, err := hkdf.Extract(sha256.New, master, salt)
	if err != nil {
		return Keys{}, err
	}
	defer clear(extracted)
	k := Keys{volume: volume, version: version, policy: policy}
	for _, purpose := range []struct {
		name string
		key  *[]byte
	}{{"root", &k.root}, {"tree", &k.tree}, {"log", &k.log}, {"data", &k.data}, {"check", &k.checks}} {
		if *purpose.key, err = hkdf.Expand(sha256.New, extracted, "bulkhead shield v1 "+purpose.name, 32); err != nil {
			return Keys{}, err
		}
	}
	return k, nil
}

// Wipe forgets the keys. A store has copies of its own, which it wipes when it is closed.
func (k *Keys) Wipe() {
	for _, key := range k.all() {
		clear(*key)
		*key = nil
	}
}

func (k *Keys) all() []*[]byte { return []*[]byte{&k.root, &k.tree, &k.log, &k.data, &k.checks} }

// keyring gives the ciphers of a volume's keys. One key never seals 2^32 times: data and pages have keys by generation (see sealed in
// image), the log one for each epoch, a root block one for itself.
type keyring struct {
	keys  Keys
	clear bool // contents stay readable

	mutex sync.RWMutex
	boxes map[boxName]box
}

// boxName names a key that is kept: of a file's data, or of the tree for file 0, whose number no file has.
type boxName struct {
	file       uint64
	generation uint16
}

const (
	treeFile     = 0
	maximumBoxes = 2048 // about 1 KiB each
)

func newKeyring(k Keys) *keyring {
	for _, key := range k.all() {
		*key = bytes.Clone(*key)
	}
	return &keyring{keys: k, clear: k.policy == PolicyAuthenticated, boxes: map[boxName]box{}}
}

// box seals and opens under one key.
type box struct {
	aead  cipher.AEAD
	clear bool
}

// of is the box for a file's data, or for the tree.
func (k *keyring) of(file uint64, generation uint16) (box, error) {
	name := boxName{file, generation}
	k.mutex.RLock()
	b, ok := k.boxes[name]
	k.mutex.RUnlock()
	if ok {
		return b, nil
	}
	secret, info := k.keys.data, binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint64(nil, file), generation)
	if file == treeFile {
		secret = k.keys.tree
	}
	b, err := k.derive(secret, string(info))
	if err != nil {
		return box{}, err
	}
	k.mutex.Lock()
	if len(k.boxes) >= maximumBoxes {
		clear(k.boxes)
	}
	k.boxes[name] = b
	k.mutex.Unlock()
	return b, nil
}

// ofLog is the box of one epoch's log.
func (k *keyring) ofLog(epoch uint64) (box, error) {
	return k.derive(k.keys.log, string(binary.BigEndian.AppendUint64(nil, epoch)))
}

// ofRoot is the box of one root block, by the salt that it carries.
func (k *keyring) ofRoot(salt []byte) (box, error) { return k.derive(k.keys.root, string(salt)) }

// check is what a root block carries in the clear to tell a wrong key from a changed block.
func (k *keyring) check() [16]byte { return [16]byte(k.keys.checks) }

func (k *keyring) derive(secret []byte, info string) (box, error) {
	if secret == nil {
		return box{}, errors.New("the keys were wiped")
	}
	key, err := hkdf.Expand(sha256.New, secret, info, 32)
	if err != nil {
		return box{}, err
	}
	defer clear(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return box{}, err
	}
	aead, err := cipher.NewGCM(block)
	return box{aead, k.clear}, err
}

// wipe forgets the keys. Key schedules of boxes are the runtime's until they are collected.
func (k *keyring) wipe() {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	k.keys.Wipe()
	clear(k.boxes)
}

// seal appends the sealed plaintext and its tag to dst, which has room for both.
func (b box) seal(dst, nonce, plaintext, additional []byte) []byte {
	if !b.clear {
		return b.aead.Seal(dst, nonce, plaintext, additional)
	}
	whole := append(append(make([]byte, 0, len(additional)+len(plaintext)), additional...), plaintext...)
	return b.aead.Seal(append(dst, plaintext...), nonce, nil, whole)
}

// open appends what sealed, which ends in its tag, was made of.
func (b box) open(dst, nonce, sealed, additional []byte) ([]byte, error) {
	if !b.clear {
		return b.aead.Open(dst, nonce, sealed, additional)
	}
	contents, tag := sealed[:len(sealed)-tagSize], sealed[len(sealed)-tagSize:]
	whole := append(append(make([]byte, 0, len(additional)+len(contents)), additional...), contents...)
	if _, err := b.aead.Open(nil, nonce, tag, whole); err != nil {
		return nil, err
	}
	return append(dst, contents...), nil
}

// random fills p. The standard library's source never returns an error.
func random(p []byte) { _, _ = rand.Read(p) }

// Additional data: the volume, a letter for what it is, then what it is there.

func (k *keyring) ofDataBlock(at Location, into []byte) []byte {
	into = append(append(into[:0], k.keys.volume[:]...), 'D')
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(into, at.File), at.Index)
}

func (k *keyring) ofPage(level uint8, address uint64) []byte {
	into := append(append(make([]byte, 0, 32), k.keys.volume[:]...), 'T', level)
	return binary.BigEndian.AppendUint64(into, address)
}

// A place in the log is written once on top of one root block: an opening that finds a log makes a checkpoint before it writes.
func (k *keyring) ofLogBlock(epoch uint64, position int, root [16]byte) []byte {
	into := append(append(make([]byte, 0, 48), k.keys.volume[:]...), 'L')
	into = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(into, epoch), uint32(position))
	return append(into, root[:]...)
}
