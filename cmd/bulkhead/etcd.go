// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"github.com/bulkhead-project/bulkhead/container"
	"github.com/bulkhead-project/bulkhead/selinux/mcs/etcd"
)

// openHost opens this machine, with the client of etcd where hosts agree on category pairs there. Nothing is connected yet.
func openHost() (*container.Host, error) {
	host, err := container.OpenHost()
	if err != nil || host.Config.Etcd == nil {
		return host, err
	}
	config := host.Config.Etcd
	gateway := &etcd.Gateway{Endpoints: config.Endpoints, Authority: config.Authority, Certificate: config.Certificate, Key: config.Key}
	host.Registry.Cluster.Call = gateway.Call
	return host, nil
}

// serveCluster has nothing to do in a program that has the client.
func serveCluster(*container.Host, string) error { return nil }
