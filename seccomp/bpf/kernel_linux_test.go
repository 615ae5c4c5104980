// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// childVariable is set in the environment of a test that runs in a process of its own, because what it does to the process stays.
const childVariable = "BPF_TEST_CHILD"

// inChild reports whether this is the child. If not, it runs the test in one.
func inChild(t *testing.T) bool {
	t.Helper()
	if os.Getenv(childVariable) != "" {
		return true
	}
	command := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=60s")
	command.Env = append(os.Environ(), childVariable+"=1")
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
	return false
}

func nativeOrder() Order { return Order(binary.NativeEndian.Uint16([]byte{0, 1}) == 1) }

// install installs a filter on the calling thread. With the flag TSYNC, it returns a thread for which that is not possible, if there is one.
func install(program []Instruction, flags uintptr) (other uintptr, err error) {
	filter := make([]unix.SockFilter, len(program), len(program)+1)
	for pc, i := range program {
		filter[pc] = unix.SockFilter{Code: i.Code, Jt: i.True, Jf: i.False, K: i.K}
	}
	fprog := unix.SockFprog{Len: uint16(len(program)), Filter: unsafe.SliceData(filter)}
	other, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&fprog)))
	if errno != 0 {
		return 0, errno
	}
	return other, nil
}

// neverAttached makes sure that no filter with the flag TSYNC can be attached from the calling thread, which stays locked: another thread has a filter
// that is none of its own. So the kernel checks programs, and does no more with them.
func neverAttached(t *testing.T) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			done <- err
			return
		}
		_, err := install([]Instruction{{RET | K, 0, 0, allow}}, 0)
		done <- err
		select {}
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
}

// kernelAccepts asks the kernel whether it takes the program, after neverAttached.
func kernelAccepts(t *testing.T, program []Instruction) bool {
	t.Helper()
	other, err := install(program, unix.SECCOMP_FILTER_FLAG_TSYNC)
	if (other == 0) != errors.Is(err, unix.EINVAL) {
		t.Fatalf("the kernel says %d, %v", other, err)
	}
	return err == nil
}

func TestTheKernelAcceptsWhatCheckAccepts(t *testing.T) {
	if !inChild(t) {
		return
	}
	neverAttached(t)
	var count [2]int
	same := func(program []Instruction) {
		t.Helper()
		err, accepted := Check(program), kernelAccepts(t, program)
		if accepted != (err == nil) {
			t.Fatalf("Check: %v; the kernel accepts: %v\n%#v", err, accepted, program)
		}
		if accepted {
			count[1]++
		} else {
			count[0]++
		}
	}
	last := Instruction{RET | K, 0, 0, allow}
	for code := range 1 << 16 {
		same([]Instruction{{uint16(code), 0, 0, 1}, last})
	}
	for code := range 256 {
		same([]Instruction{{uint16(code), 0, 0, 0}}) // as the last
		for _, k := range []uint32{0, 2, 3, 4, 15, 16, 31, 32, 60, 63, 64, 0x7fffffff, 0x80000000, 0xfffff000, 0xffffffff} {
			same([]Instruction{{uint16(code), 1, 0, k}, last, last})
			same([]Instruction{{uint16(code), 0, 2, k}, last, last})
			same([]Instruction{{ST, 0, 0, k % 17}, {uint16(code), 0, 0, k}, last, last})
		}
	}
	for _, length := range []int{0, 1, 2, 255, 256, 257, 258, 4095, 4096, 4097, 5000} {
		program := make([]Instruction, length)
		for pc := range program {
			program[pc] = last
		}
		same(program)
		if length > 0 {
			program[0] = Instruction{JMP | JEQ | K, 255, 0, 0}
			same(program)
			program[0] = Instruction{JMP | JA, 0, 0, uint32(length - 2)}
			same(program)
			program[0].K++
			same(program)
		}
	}
	random := seeded(6)
	for range 20000 {
		same(corrupted(random, anything.program(random, 1+random.IntN(20))))
	}
	t.Logf("%d accepted, %d refused", count[1], count[0])
	if count[1] < 10000 || count[0] < 70000 {
		t.Errorf("only %d programs were accepted and %d refused", count[1], count[0])
	}
}

// corrupted returns a program that may have something wrong.
func corrupted(random *rand.Rand, program []Instruction) []Instruction {
	for range random.IntN(3) {
		i := &program[random.IntN(len(program))]
		switch random.IntN(5) {
		case 0:
			i.Code ^= 1 << random.IntN(9)
		case 1:
			i.K = someValue(random)
		case 2:
			i.True = uint8(random.IntN(12))
		case 3:
			i.False = uint8(random.IntN(12))
		case 4: // scratch memory, likely not written before
			i.Code, i.K = []uint16{LD | MEM, LDX | MEM, ST, STX}[random.IntN(4)], uint32(random.IntN(2))
		}
	}
	return program
}

// firstProbed is the least number of the calls that the tests make: the kernel knows none of them.
const firstProbed = 0x20000

// probe is a program as a filter that leaves all calls alone but those of the tests, and answers these by an errno that holds 11 bits of the program's
// result, from the bit shift on. The program's returns become jumps to the end.
func probe(program []Instruction, shift uint32) []Instruction {
	const before = 4
	filter := []Instruction{
		{LD | W | ABS, 0, 0, OffsetNumber},
		{JMP | JGE | K, 1, 0, firstProbed},
		{RET | K, 0, 0, allow},
		{LD | IMM, 0, 0, 0}, // as the kernel starts programs
	}
	// Returns of a number need room for its load.
	place := make([]int, len(program)+1)
	at := before
	for pc, i := range program {
		place[pc] = at
		at++
		if i.Code == RET|K {
			at++
		}
	}
	place[len(program)] = at
	for pc, i := range program {
		switch {
		case i.Code == RET|K:
			filter = append(filter, Instruction{LD | IMM, 0, 0, i.K}, Instruction{JMP | JA, 0, 0, uint32(at - place[pc] - 2)})
			continue
		case i.Code == RET|A:
			i = Instruction{JMP | JA, 0, 0, uint32(at - place[pc] - 1)}
		case i.Code == JMP|JA:
			i.K = uint32(place[pc+1+int(i.K)] - place[pc] - 1)
		case i.Code&class == JMP:
			i.True, i.False = uint8(place[pc+1+int(i.True)]-place[pc]-1), uint8(place[pc+1+int(i.False)]-place[pc]-1)
		}
		filter = append(filter, i)
	}
	return append(filter, Instruction{ALU | RSH | K, 0, 0, shift}, Instruction{ALU | AND | K, 0, 0, 0x7ff}, Instruction{ALU | OR | K, 0, 0, 0x00050000}, Instruction{RET | A, 0, 0, 0})
}

// shifts make three probes of 11 bits cover 32.
var shifts = [3]uint32{0, 11, 22}

// call makes a call of which the installed probe says something.
func call(data *Data) uint32 {
	_, _, errno := unix.RawSyscall6(uintptr(data.Number), uintptr(data.Args[0]), uintptr(data.Args[1]), uintptr(data.Args[2]), uintptr(data.Args[3]), uintptr(data.Args[4]), uintptr(data.Args[5]))
	return uint32(errno)
}

// onThread runs a function on a thread of its own, which ends with it, since its filters stay.
func onThread(t *testing.T, do func() error) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			done <- err
			return
		}
		done <- do()
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// answers returns what the kernel makes of the program for each call, by three filters of which the latest one decides. Calls that would end the
// thread must not be among them.
func answers(t *testing.T, program []Instruction, calls []Data) []uint32 {
	t.Helper()
	found := make([]uint32, len(calls))
	onThread(t, func() error {
		for _, shift := range shifts {
			if _, err := install(probe(program, shift), 0); err != nil {
				return err
			}
			for i := range calls {
				found[i] |= call(&calls[i]) << shift
			}
		}
		return nil
	})
	return found
}

// probedData returns a random call as the kernel will show it to filters, given what it showed of another.
func probedData(random *rand.Rand, of Data) Data {
	data := someData(random)
	data.Number = firstProbed + random.Uint32N(0x3fffffff-firstProbed)
	data.Arch, data.InstructionPointer = of.Arch, of.InstructionPointer
	if unsafe.Sizeof(uintptr(0)) == 4 {
		for i := range data.Args {
			data.Args[i] &= 0xffffffff
		}
	}
	return data
}

func TestTheKernelExecutesAsExecuteDoes(t *testing.T) {
	if !inChild(t) {
		return
	}
	order, random := nativeOrder(), seeded(7)
	shown := Data{Number: firstProbed, Args: [6]uint64{1, 2, 3, 4, 5, 6}}
	for offset := uint32(OffsetArch); offset < OffsetArgs; offset += 4 {
		shown.SetWord(order, offset, answers(t, []Instruction{{LD | W | ABS, 0, 0, offset}, {RET | A, 0, 0, 0}}, []Data{shown})[0])
	}
	if runtime.GOARCH == "amd64" && shown.Arch != unix.AUDIT_ARCH_X86_64 || shown.InstructionPointer == 0 {
		t.Fatalf("the kernel shows %+v", shown)
	}
	values, used := map[uint32]bool{}, map[uint16]bool{}
	programs, skipped := 0, 0
	for programs < 2000 {
		program := anything.program(random, 2+random.IntN(20))
		if programs%3 != 0 {
			program = calculations.program(random, 2+random.IntN(20))
		}
		var calls []Data
		var want []uint32
		for range 20 {
			data := probedData(random, shown)
			value, _ := Execute(order, program, &data)
			if endsByDivision(order, program, &data) {
				skipped++
				continue
			}
			calls, want = append(calls, data), append(want, value)
		}
		if len(calls) == 0 {
			continue
		}
		programs++
		for i, got := range answers(t, program, calls) {
			if got != want[i] {
				t.Fatalf("%+v: the kernel says %#x, Execute %#x\n%s", calls[i], got, want[i], Disassemble(order, program, Names{}))
			}
			values[got] = true
		}
		for _, i := range program {
			used[i.Code] = true
		}
	}
	t.Logf("%d programs, %d different results, %d calls left out that divide by zero", programs, len(values), skipped)
	if len(values) < 2000 {
		t.Errorf("only %d different results", len(values))
	}
	for _, code := range accepted() {
		if !used[code] {
			t.Errorf("no program had the code %#02x", code)
		}
	}
}

// endsByDivision reports whether a division by zero ends the program: then its result does not depend on what the returns say.
func endsByDivision(order Order, program []Instruction, data *Data) bool {
	value, _ := Execute(order, probe(program, 0), data)
	return value>>16 != 5
}

func TestDivisionByZeroEndsTheThread(t *testing.T) {
	if !inChild(t) {
		return
	}
	for divisor, survives := range map[uint32]bool{1: true, 0: false} {
		program := probe([]Instruction{{LDX | IMM, 0, 0, divisor}, {LD | IMM, 0, 0, 1}, {ALU | DIV | X, 0, 0, 0}, {RET | A, 0, 0, 0}}, 0)
		data := Data{Number: firstProbed}
		if value, _ := Execute(nativeOrder(), program, &data); (value != 0) != survives {
			t.Errorf("a division by %d returns %#x", divisor, value)
		}
		thread, returned := make(chan int, 1), make(chan error, 1)
		go func() {
			runtime.LockOSThread()
			err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
			if err == nil {
				_, err = install(program, 0)
			}
			thread <- unix.Gettid()
			if err == nil {
				call(&data)
			}
			returned <- err
			select {}
		}()
		if survived, err := ended(<-thread, returned); err != nil || survived != survives {
			t.Errorf("a division by %d: the thread survives: %v, %v", divisor, survived, err)
		}
	}
}

// ended waits until a call has returned or its thread is gone.
func ended(thread int, returned <-chan error) (survived bool, err error) {
	for range 1000 {
		select {
		case err := <-returned:
			return true, err
		default:
		}
		// A process's first thread stays as a zombie for as long as there are others.
		status, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/status", thread))
		if err != nil || bytes.Contains(status, []byte("\nState:\tZ")) {
			return false, nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	return false, errors.New("neither does the call return nor the thread end")
}
