// Command coredns is CoreDNS with only the plugins that a cluster needs.
//
// The stock build compiles several dozen plugins and their cloud SDKs; five are
// enough to answer for cluster.local, which cuts the compile by minutes.
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"

	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/ready"
)

func init() {
	// The order decides which plugin sees a query first.
	dnsserver.Directives = []string{"ready", "errors", "cache", "kubernetes"}
}

func main() { coremain.Run() }
