use strict; use warnings; use IO::Socket::INET;
my ($what) = @ARGV; $what ||= "pages";
if ($what eq "writes") { open(my $f, ">", "/data/result.txt") or die "/data/result.txt: $!\n"; print $f "written\n"; close $f }
my $visits = 0;
if (open(my $f, "<", "/opt/lab/visits")) { $visits = 0 + <$f>; close $f }
$visits++;
if (open(my $f, ">", "/opt/lab/visits")) { print $f "$visits\n"; close $f }
my $s = IO::Socket::INET->new(LocalPort => 8642, Listen => 9, ReuseAddr => 1) or die "listen: $!\n";
$| = 1;
print "line $_ of the log\n" for 1 .. 300;
print "the needle is here\n";
print "line $_ after it\n" for 1 .. 100;
while (my $c = $s->accept) {
    while (my $l = <$c>) { last if $l =~ /^\r?$/ }
    my $page = "<html><p>lab shows $what, start $visits</p></html>";
    print $c "HTTP/1.0 200 OK\r\nContent-Type: text/html\r\nContent-Length: " . length($page) . "\r\n\r\n$page";
    close $c;
}
