TEST_CASE("addresses are read", "[base]") {
  Read("10.0.0.1");             // <- finding
  Read("backend 8.8.8.8:53");   // <- finding
  Read("192.168.1.0/24");       // <- finding
  Read("[2a00:1450::1]:443");   // <- finding
  Read("::ffff:1.1.1.1");       // <- finding
  Read("64:ff9b::1.1.1.1");     // <- finding
}
