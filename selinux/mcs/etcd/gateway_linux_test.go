// SPDX-License-Identifier: Apache-2.0

package etcd

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bulkhead-project/bulkhead/test/harness"
)

// write and read are a change and a read of a key.
var (
	write = map[string]any{"key": []byte("a"), "value": []byte("b")}
	read  = map[string]any{"key": []byte("a")}
)

// call does both, and checks that the second sees the first.
func call(t *testing.T, gateway *Gateway) error {
	t.Helper()
	var answer struct {
		KVs []struct{ Value []byte }
	}
	if err := gateway.Call(t.Context(), "kv/range", read, &answer); err != nil {
		return err
	}
	if err := gateway.Call(t.Context(), "kv/put", write, &struct{}{}); err != nil {
		return err
	}
	err := gateway.Call(t.Context(), "kv/range", read, &answer)
	if err == nil && (len(answer.KVs) != 1 || string(answer.KVs[0].Value) != "b") {
		t.Errorf("read back %v", answer)
	}
	return err
}

// silent listens and never answers.
func silent(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return "http://" + listener.Addr().String()
}

func TestTheEndpointThatAnswersServes(t *testing.T) {
	server := harness.StartEtcd(t, "", nil)
	server.Await(t, nil)
	gateway := &Gateway{Endpoints: []string{"http://127.0.0.1:1", silent(t), server.URL}}
	if err := call(t, gateway); err != nil {
		t.Fatal(err)
	}
	if gateway.current != 2 {
		t.Errorf("the next request goes to endpoint %d", gateway.current)
	}
}

func TestNoAnswerIsAnErrorInTime(t *testing.T) {
	for name, endpoints := range map[string][]string{"refused": {"http://127.0.0.1:1"}, "silent": {silent(t)}, "both": {silent(t), "http://127.0.0.1:1"}} {
		started := time.Now()
		err := call(t, &Gateway{Endpoints: endpoints})
		if err == nil || strings.Contains(err.Error(), "Post ") || time.Since(started) > 2*time.Second {
			t.Errorf("%s: %v after %s", name, err, time.Since(started))
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	started := time.Now()
	if err := (&Gateway{Endpoints: []string{silent(t), silent(t)}}).Call(ctx, "kv/range", read, &struct{}{}); err == nil || time.Since(started) > time.Second {
		t.Errorf("the context's end: %v after %s", err, time.Since(started))
	}
}

// An answer that is lost must not have the change made twice: it is sent to one endpoint.
func TestAChangeIsSentOnce(t *testing.T) {
	count := 0
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		count++
		if r.URL.Path == "/v3/kv/range" {
			w.Write([]byte("{}"))
			return
		}
		panic(http.ErrAbortHandler) // the connection ends
	})}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	address := "http://" + listener.Addr().String()
	gateway := &Gateway{Endpoints: []string{address, address}}
	if err := call(t, gateway); err == nil || count != 2 {
		t.Errorf("%d requests, %v", count, err)
	}
}

func TestAnswersThatAreNoneAreErrors(t *testing.T) {
	for body, want := range map[string]string{
		`{"error":"etcdserver: no leader","message":"etcdserver: no leader","code":14}`: `"etcdserver: no leader"`,
		`404 page not found`: "--enable-grpc-gateway",
		`{"kvs":3}`:          "cannot unmarshal", ``: "EOF", `{"kvs":[`: "EOF", "redirect": "302",
	} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch body[:min(len(body), 4)] {
			case `{"er`:
				w.WriteHeader(http.StatusServiceUnavailable)
			case "404 ":
				w.WriteHeader(http.StatusNotFound)
			case "redi":
				http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
			}
			w.Write([]byte(body))
		})}
		go server.Serve(listener)
		err = call(t, &Gateway{Endpoints: []string{"http://" + listener.Addr().String()}})
		server.Close()
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "http://127.") {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// Of three members one that hangs is passed over, and one that is left alone gives no answer that the others may contradict.
func TestMembersThatAgreeServe(t *testing.T) {
	var peers, clients []string
	for range 6 {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		if peers = append(peers, "http://"+listener.Addr().String()); len(peers) > 3 {
			clients, peers = append(clients, peers[3]), peers[:3]
		}
		listener.Close()
	}
	all := fmt.Sprintf("0=%s,1=%s,2=%s", peers[0], peers[1], peers[2])
	var members []*harness.Etcd
	for i := range peers {
		members = append(members, harness.StartEtcd(t, clients[i], []string{"--name", fmt.Sprint(i), "--initial-cluster", all, "--listen-peer-urls", peers[i],
			"--initial-advertise-peer-urls", peers[i]}))
	}
	members[0].Await(t, nil)
	gateway := &Gateway{Endpoints: clients}
	if err := call(t, gateway); err != nil {
		t.Fatal(err)
	}
	members[0].Signal(t, syscall.SIGSTOP)
	members[1].Await(t, nil) // a leader is elected, if it was the first
	if err := call(t, gateway); err != nil {
		t.Errorf("one of three hangs: %v", err)
	}
	members[1].Signal(t, syscall.SIGSTOP)
	started := time.Now()
	if err := call(t, gateway); err == nil || time.Since(started) > 5*time.Second {
		t.Errorf("two of three hang: %v after %s", err, time.Since(started))
	}
}

// authority is a new certificate authority with one certificate for 127.0.0.1, as files.
func authority(t *testing.T, name string) (authority, certificate, key string) {
	t.Helper()
	directory := t.TempDir()
	newKey := func() *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(directory, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign}
	parentKey, leafKey := newKey(), newKey()
	parent, err := x509.CreateCertificate(rand.Reader, template, template, parentKey.Public(), parentKey)
	if err != nil {
		t.Fatal(err)
	}
	leafTemplate := &x509.Certificate{SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	leaf, err := x509.CreateCertificate(rand.Reader, leafTemplate, template, leafKey.Public(), parentKey)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalECPrivateKey(leafKey)
	if err != nil {
		t.Fatal(err)
	}
	return write("ca.crt", "CERTIFICATE", parent), write("leaf.crt", "CERTIFICATE", leaf), write("leaf.key", "EC PRIVATE KEY", encoded)
}

func TestCertificatesAreCheckedBothWays(t *testing.T) {
	ca, certificate, key := authority(t, "ours")
	otherCA, otherCertificate, otherKey := authority(t, "theirs")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "https://" + listener.Addr().String()
	listener.Close()
	server := harness.StartEtcd(t, url, []string{"--cert-file", certificate, "--key-file", key, "--trusted-ca-file", ca, "--client-cert-auth"})
	good := &Gateway{Endpoints: []string{url}, Authority: ca, Certificate: certificate, Key: key}
	shown, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	server.Await(t, &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{shown}}}})
	if err := call(t, good); err != nil {
		t.Error(err)
	}
	for want, gateway := range map[string]*Gateway{
		"unknown authority": {Endpoints: []string{url}, Authority: otherCA, Certificate: certificate, Key: key},
		"certificate":       {Endpoints: []string{url}, Authority: ca},
		"tls":               {Endpoints: []string{url}, Authority: ca, Certificate: otherCertificate, Key: otherKey},
		"no certificate":    {Endpoints: []string{url}, Authority: key},
		"private key":       {Endpoints: []string{url}, Authority: ca, Certificate: certificate, Key: otherKey},
		"no such file":      {Endpoints: []string{url}, Authority: ca + ".none"},
	} {
		if err := call(t, gateway); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
