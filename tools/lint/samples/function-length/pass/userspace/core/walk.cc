// Seventy lines are the limit; a table is no function; a NOLINT with a reason
// excuses. Braces in "{" and '{' and /* { */ do not count.
namespace fairlead::core {
const std::array<int, Count(3)> kTable = {
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    10,
    11,
    12,
    13,
    14,
    15,
    16,
    17,
    18,
    19,
    20,
    21,
    22,
    23,
    24,
    25,
    26,
    27,
    28,
    29,
    30,
    31,
    32,
    33,
    34,
    35,
    36,
    37,
    38,
    39,
    40,
    41,
    42,
    43,
    44,
    45,
    46,
    47,
    48,
    49,
    50,
    51,
    52,
    53,
    54,
    55,
    56,
    57,
    58,
    59,
    60,
    61,
    62,
    63,
    64,
    65,
    66,
    67,
    68,
    69,
    70,
    71,
    72,
    73,
    74,
    75,
    76,
    77,
    78,
    79,
};

int Walk(int from) {
  Step(0);
  Step(1);
  Step(2);
  Step(3);
  Step(4);
  Step(5);
  Step(6);
  Step(7);
  Step(8);
  Step(9);
  Step(10);
  Step(11);
  Step(12);
  Step(13);
  Step(14);
  Step(15);
  Step(16);
  Step(17);
  Step(18);
  Step(19);
  Step(20);
  Step(21);
  Step(22);
  Step(23);
  Step(24);
  Step(25);
  Step(26);
  Step(27);
  Step(28);
  Step(29);
  Step(30);
  Step(31);
  Step(32);
  Step(33);
  Step(34);
  Step(35);
  Step(36);
  Step(37);
  Step(38);
  Step(39);
  Step(40);
  Step(41);
  Step(42);
  Step(43);
  Step(44);
  Step(45);
  Step(46);
  Step(47);
  Step(48);
  Step(49);
  Step(50);
  Step(51);
  Step(52);
  Step(53);
  Step(54);
  Step(55);
  Step(56);
  Step(57);
  Step(58);
  Step(59);
  Step(60);
  Step(61);
  Step(62);
  Step(63);
  Step(64);
  Step(65);
  Step(66);
  Step(67);
}

class Walker {
 public:
  Walker() : a_{1}, b_{2} {
    Step('{');
  }
  int Get0() const { return 0; }
  int Get1() const { return 1; }
  int Get2() const { return 2; }
  int Get3() const { return 3; }
  int Get4() const { return 4; }
  int Get5() const { return 5; }
  int Get6() const { return 6; }
  int Get7() const { return 7; }
  int Get8() const { return 8; }
  int Get9() const { return 9; }
  int Get10() const { return 10; }
  int Get11() const { return 11; }
  int Get12() const { return 12; }
  int Get13() const { return 13; }
  int Get14() const { return 14; }
  int Get15() const { return 15; }
  int Get16() const { return 16; }
  int Get17() const { return 17; }
  int Get18() const { return 18; }
  int Get19() const { return 19; }
  int Get20() const { return 20; }
  int Get21() const { return 21; }
  int Get22() const { return 22; }
  int Get23() const { return 23; }
  int Get24() const { return 24; }
  int Get25() const { return 25; }
  int Get26() const { return 26; }
  int Get27() const { return 27; }
  int Get28() const { return 28; }
  int Get29() const { return 29; }
  int Get30() const { return 30; }
  int Get31() const { return 31; }
  int Get32() const { return 32; }
  int Get33() const { return 33; }
  int Get34() const { return 34; }
  int Get35() const { return 35; }
  int Get36() const { return 36; }
  int Get37() const { return 37; }
  int Get38() const { return 38; }
  int Get39() const { return 39; }
  int Get40() const { return 40; }
  int Get41() const { return 41; }
  int Get42() const { return 42; }
  int Get43() const { return 43; }
  int Get44() const { return 44; }
  int Get45() const { return 45; }
  int Get46() const { return 46; }
  int Get47() const { return 47; }
  int Get48() const { return 48; }
  int Get49() const { return 49; }
  int Get50() const { return 50; }
  int Get51() const { return 51; }
  int Get52() const { return 52; }
  int Get53() const { return 53; }
  int Get54() const { return 54; }
  int Get55() const { return 55; }
  int Get56() const { return 56; }
  int Get57() const { return 57; }
  int Get58() const { return 58; }
  int Get59() const { return 59; }
  int Get60() const { return 60; }
  int Get61() const { return 61; }
  int Get62() const { return 62; }
  int Get63() const { return 63; }
  int Get64() const { return 64; }
  int Get65() const { return 65; }
  int Get66() const { return 66; }
  int Get67() const { return 67; }
  int Get68() const { return 68; }
  int Get69() const { return 69; }
  int Get70() const { return 70; }
  int Get71() const { return 71; }
  int Get72() const { return 72; }
  int Get73() const { return 73; }
  int Get74() const { return 74; }
  int Get75() const { return 75; }
  int Get76() const { return 76; }
  int Get77() const { return 77; }
  int Get78() const { return 78; }
  int Get79() const { return 79; }
};

// NOLINTNEXTLINE(fl-function-length): a flat table of steps
int Flat() {
  Step(0);
  Step(1);
  Step(2);
  Step(3);
  Step(4);
  Step(5);
  Step(6);
  Step(7);
  Step(8);
  Step(9);
  Step(10);
  Step(11);
  Step(12);
  Step(13);
  Step(14);
  Step(15);
  Step(16);
  Step(17);
  Step(18);
  Step(19);
  Step(20);
  Step(21);
  Step(22);
  Step(23);
  Step(24);
  Step(25);
  Step(26);
  Step(27);
  Step(28);
  Step(29);
  Step(30);
  Step(31);
  Step(32);
  Step(33);
  Step(34);
  Step(35);
  Step(36);
  Step(37);
  Step(38);
  Step(39);
  Step(40);
  Step(41);
  Step(42);
  Step(43);
  Step(44);
  Step(45);
  Step(46);
  Step(47);
  Step(48);
  Step(49);
  Step(50);
  Step(51);
  Step(52);
  Step(53);
  Step(54);
  Step(55);
  Step(56);
  Step(57);
  Step(58);
  Step(59);
  Step(60);
  Step(61);
  Step(62);
  Step(63);
  Step(64);
  Step(65);
  Step(66);
  Step(67);
  Step(68);
  Step(69);
  Step(70);
  Step(71);
  Step(72);
  Step(73);
  Step(74);
  Step(75);
  Step(76);
  Step(77);
  Step(78);
  Step(79);
  Step(80);
  Step(81);
  Step(82);
  Step(83);
  Step(84);
  Step(85);
  Step(86);
  Step(87);
  Step(88);
  Step(89);
}
}  // namespace fairlead::core
