// SPDX-License-Identifier: Apache-2.0

// Package etcd speaks to an etcd, version 3.4 or later, through the JSON gateway that each member has beside gRPC (--enable-grpc-gateway, on unless it is
// switched off). Four kinds of requests are all that the registry of category pairs needs, and the HTTP client for them is in the program anyway: the gRPC
// client would cost every start of the program, see RATIONALE.md.
//
// Limits: members that know users (etcd's `auth enable`) are not served, since the gateway does not pass on who a certificate is of.
package etcd

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// Gateway is the members of one etcd.
type Gateway struct {
	Endpoints []string // such as "https://10.0.0.1:2379", at least one

	// Files in PEM. Authority is whose certificates members may show, "" for the system's authorities; Certificate and Key are what is shown to them, ""
	// for nothing.
	Authority, Certificate, Key string

	start   sync.Once
	client  *http.Client
	failure error // of the files

	lock    sync.Mutex
	current int // the endpoint that answered last
}

const (
	dialLimit   = time.Second
	readLimit   = 1200 * time.Millisecond // of one read at one endpoint, before the next is asked
	changeLimit = 2500 * time.Millisecond // of a change, which is sent to one endpoint only
	maxResponse = 64 << 20                // bytes
)

// Call sends one request, and decodes the answer. A read is sent to the endpoint that answered last, and then to the others; a change only to that
// one, since a change without an answer may have been made.
func (g *Gateway) Call(ctx context.Context, method string, request, response any) error {
	g.start.Do(func() { g.client, g.failure = g.newClient() })
	if g.failure != nil {
		return g.failure
	}
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	g.lock.Lock()
	first := g.current
	g.lock.Unlock()
	if method != "kv/range" {
		return g.send(ctx, changeLimit, first, method, body, response)
	}
	var failures []error
	for i := range g.Endpoints {
		endpoint := (first + i) % len(g.Endpoints)
		err := g.send(ctx, readLimit, endpoint, method, body, response)
		if err == nil {
			g.lock.Lock()
			g.current = endpoint
			g.lock.Unlock()
			return nil
		}
		failures = append(failures, err)
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(failures...)
}

// send posts the body to one endpoint.
func (g *Gateway) send(ctx context.Context, limit time.Duration, endpoint int, method string, body []byte, response any) error {
	address := g.Endpoints[endpoint]
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(address, "/")+"/v3/"+method, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := g.client.Do(request)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = errors.New("no answer in time")
		}
		return fmt.Errorf("%s: %w", address, bare(err))
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %w", address, method, statusError(answer))
	}
	limited := &io.LimitedReader{R: answer.Body, N: maxResponse}
	if err := json.NewDecoder(limited).Decode(response); err != nil {
		if limited.N == 0 {
			err = fmt.Errorf("more than %d bytes", maxResponse)
		}
		return fmt.Errorf("%s: %s: answer: %w", address, method, err)
	}
	return nil
}

// bare takes the method and the address off an error of net/http, which would say both twice.
func bare(err error) error {
	for {
		wrapped, ok := err.(interface{ Unwrap() error })
		if !ok || wrapped.Unwrap() == nil || !strings.HasPrefix(err.Error(), "Post ") {
			return err
		}
		err = wrapped.Unwrap()
	}
}

// statusError is what an answer that is no 200 says.
func statusError(answer *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(answer.Body, 4096))
	var said struct {
		Message string `json:"message"`
		Error   any    `json:"error"`
	}
	if json.Unmarshal(text, &said) == nil {
		if said.Message != "" {
			return fmt.Errorf("%.200q", said.Message)
		}
		if message, ok := said.Error.(string); ok {
			return fmt.Errorf("%.200q", message)
		}
	}
	if answer.StatusCode == http.StatusNotFound {
		return errors.New("404: no etcd, or its JSON gateway is off (--enable-grpc-gateway)")
	}
	return errors.New(answer.Status)
}

func (g *Gateway) newClient() (*http.Client, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if g.Authority != "" {
		text, err := os.ReadFile(g.Authority)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s: no certificate in PEM", g.Authority)
		}
	}
	if g.Certificate != "" {
		pair, err := tls.LoadX509KeyPair(g.Certificate, g.Key)
		if err != nil {
			return nil, fmt.Errorf("%s, %s: %w", g.Certificate, g.Key, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return &http.Client{
		// No proxy: the environment of an engine is nothing to send pairs through.
		Transport: &http.Transport{TLSClientConfig: config, DialContext: (&net.Dialer{Timeout: dialLimit}).DialContext, TLSHandshakeTimeout: dialLimit,
			MaxIdleConnsPerHost: 2, IdleConnTimeout: 5 * time.Second},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}
