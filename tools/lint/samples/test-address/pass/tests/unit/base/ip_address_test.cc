// 8.8.8.8 in a comment reaches nobody.
TEST_CASE("addresses are read", "[base]") {
  Read("192.0.2.1");
  Read("198.51.100.7:80");
  Read("203.0.113.0/24");
  Read("[2001:db8::1]:443");
  Read("::ffff:192.0.2.1");
  Read("64:ff9b::192.0.2.1");
  Read("::192.0.2.1");
  Read("127.0.0.1");
  Read("::1");
  Read("0.0.0.0");
  Read("::");
  Read("224.0.0.1");
  Read("255.255.255.255");
  Read("1.2.3.4.5");
  Read("300.1.1.1");
  Read("std::string 02:00:00:00:00:01 12:30:00");
}
